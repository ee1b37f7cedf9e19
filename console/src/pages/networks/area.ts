import { IconNetwork } from "@tabler/icons-react";
import type { Area } from "~/area";

export default {
  pages: [
    { path: "/networks", page: () => import("./list") },
    { path: "/networks/$id", page: () => import("./detail") },
  ],
  nav: [
    {
      section: "Network",
      label: "Networks",
      to: "/networks",
      icon: IconNetwork,
      permission: "networks:read",
      order: 10,
    },
  ],
  find: {
    permission: "networks:read",
    search: async (typed) => (await import("./queries")).findNetworks(typed),
  },
} satisfies Area;
