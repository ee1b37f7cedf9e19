import { IconZoomQuestion } from "@tabler/icons-react";
import type { Area } from "~/area";

export default {
  pages: [{ path: "/access", page: () => import("./explorer") }],
  nav: [
    {
      section: "Access",
      label: "Access explorer",
      to: "/access",
      icon: IconZoomQuestion,
      permission: "access:read",
      order: 50,
    },
  ],
} satisfies Area;
