import { IconBan } from "@tabler/icons-react";
import type { Area } from "~/area";

export default {
  pages: [
    { path: "/exclusions", page: () => import("./list") },
    { path: "/exclusions/$id", page: () => import("./detail") },
  ],
  nav: [
    {
      section: "Access",
      label: "Exclusions",
      to: "/exclusions",
      icon: IconBan,
      permission: "policies:read",
      order: 20,
    },
  ],
} satisfies Area;
