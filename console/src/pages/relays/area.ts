import { IconArrowsExchange } from "@tabler/icons-react";
import type { Area } from "~/area";

export default {
  pages: [
    { path: "/relays", page: () => import("./list") },
    { path: "/relays/$id", page: () => import("./detail") },
  ],
  nav: [
    {
      section: "Network",
      label: "Relays",
      to: "/relays",
      icon: IconArrowsExchange,
      permission: "relays:read",
      order: 30,
    },
  ],
  find: {
    permission: "relays:read",
    search: async (typed) => (await import("./queries")).findRelays(typed),
  },
} satisfies Area;
