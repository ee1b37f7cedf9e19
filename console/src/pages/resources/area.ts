import { IconDatabase } from "@tabler/icons-react";
import type { Area } from "~/area";

export default {
  pages: [
    { path: "/resources", page: () => import("./list") },
    { path: "/resources/$id", page: () => import("./detail") },
  ],
  nav: [
    {
      section: "Network",
      label: "Resources",
      to: "/resources",
      icon: IconDatabase,
      permission: "resources:read",
      order: 40,
    },
  ],
  find: {
    permission: "resources:read",
    search: async (typed) => (await import("./queries")).findResources(typed),
  },
} satisfies Area;
