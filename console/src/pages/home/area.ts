import { IconHome } from "@tabler/icons-react";
import type { Area } from "~/area";

export default {
  pages: [{ path: "/", page: () => import("./home") }],
  nav: [{ section: "Overview", label: "Home", to: "/", icon: IconHome, order: 0 }],
} satisfies Area;
