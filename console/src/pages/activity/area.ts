import { IconHistory, IconListDetails, IconLogin } from "@tabler/icons-react";
import type { Area } from "~/area";

export default {
  pages: [
    { path: "/connections", page: () => import("./connections") },
    { path: "/connections/$id", page: () => import("./connection") },
    { path: "/events", page: () => import("./events") },
    { path: "/sign-ins", page: () => import("./sign-ins") },
  ],
  nav: [
    {
      section: "Activity",
      label: "Connections",
      to: "/connections",
      icon: IconListDetails,
      permission: "connections:read",
      order: 10,
    },
    { section: "Activity", label: "Audit", to: "/events", icon: IconHistory, permission: "audit:read", order: 20 },
    { section: "Activity", label: "Sign-ins", to: "/sign-ins", icon: IconLogin, permission: "audit:read", order: 30 },
  ],
} satisfies Area;
