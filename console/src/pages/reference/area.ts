import { IconApi } from "@tabler/icons-react";
import type { Area } from "~/area";

export default {
  pages: [{ path: "/reference", page: () => import("./reference") }],
  nav: [
    {
      section: "Settings",
      label: "API reference",
      to: "/reference",
      icon: IconApi,
      permission: "self:read",
      order: 80,
    },
  ],
} satisfies Area;
