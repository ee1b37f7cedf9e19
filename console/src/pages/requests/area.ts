import { IconHandStop } from "@tabler/icons-react";
import type { Area } from "~/area";

export default {
  pages: [
    { path: "/access-requests", page: () => import("./list") },
    { path: "/access-requests/$id", page: () => import("./detail") },
  ],
  nav: [
    {
      section: "Access",
      label: "Requests",
      to: "/access-requests",
      icon: IconHandStop,
      permission: "requests:read",
      order: 5,
    },
  ],
} satisfies Area;
