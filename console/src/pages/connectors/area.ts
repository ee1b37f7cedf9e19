import { IconPlugConnected } from "@tabler/icons-react";
import type { Area } from "~/area";

export default {
  pages: [
    { path: "/connectors", page: () => import("./list") },
    { path: "/connectors/$id", page: () => import("./detail") },
  ],
  nav: [
    {
      section: "Network",
      label: "Connectors",
      to: "/connectors",
      icon: IconPlugConnected,
      permission: "networks:read",
      order: 20,
    },
  ],
  find: {
    permission: "networks:read",
    search: async (typed) => (await import("./queries")).findConnectors(typed),
  },
} satisfies Area;
