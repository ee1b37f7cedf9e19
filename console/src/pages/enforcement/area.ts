import { IconChecklist } from "@tabler/icons-react";
import type { Area } from "~/area";

export default {
  pages: [
    { path: "/enforcement", page: () => import("./list") },
    { path: "/enforcement/$revision", page: () => import("./change") },
  ],
  nav: [
    {
      section: "Activity",
      label: "Enforcement",
      to: "/enforcement",
      icon: IconChecklist,
      permission: "enforcement:read",
      order: 40,
    },
  ],
} satisfies Area;
