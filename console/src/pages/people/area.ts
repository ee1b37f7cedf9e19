import { IconRobot, IconUsers, IconUsersGroup } from "@tabler/icons-react";
import type { Area } from "~/area";

export default {
  pages: [
    { path: "/users", page: () => import("./users") },
    { path: "/users/$id", page: () => import("./user") },
    { path: "/groups", page: () => import("./groups") },
    { path: "/groups/$id", page: () => import("./group") },
    { path: "/service-accounts", page: () => import("./service-accounts") },
    { path: "/service-accounts/$id", page: () => import("./service-account") },
  ],
  nav: [
    { section: "People", label: "Users", to: "/users", icon: IconUsers, permission: "people:read", order: 10 },
    { section: "People", label: "Groups", to: "/groups", icon: IconUsersGroup, permission: "groups:read", order: 20 },
    {
      section: "People",
      label: "Service accounts",
      to: "/service-accounts",
      icon: IconRobot,
      permission: "service-accounts:read",
      order: 30,
    },
  ],
  find: {
    permission: "people:read",
    search: async (typed) => (await import("./queries")).findPeople(typed),
  },
} satisfies Area;
