import { IconGitPullRequest } from "@tabler/icons-react";
import type { Area } from "~/area";

export default {
  pages: [
    { path: "/plans", page: () => import("./list") },
    { path: "/plans/new", page: () => import("./new") },
    { path: "/plans/$hash", page: () => import("./detail") },
  ],
  nav: [
    {
      section: "Access",
      label: "Plans",
      to: "/plans",
      icon: IconGitPullRequest,
      permission: "plans:read",
      order: 40,
    },
  ],
} satisfies Area;
