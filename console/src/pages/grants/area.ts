import { IconKey } from "@tabler/icons-react";
import type { Area } from "~/area";

export default {
  pages: [
    { path: "/grants", page: () => import("./list") },
    { path: "/grants/$id", page: () => import("./detail") },
  ],
  nav: [{ section: "Access", label: "Grants", to: "/grants", icon: IconKey, permission: "grants:read", order: 10 }],
} satisfies Area;
