import { IconTopologyStar3 } from "@tabler/icons-react";
import type { Area } from "~/area";

export default {
  pages: [{ path: "/topology", page: () => import("./topology") }],
  nav: [
    {
      section: "Overview",
      label: "Topology",
      to: "/topology",
      icon: IconTopologyStar3,
      permission: "grants:read",
      order: 20,
    },
  ],
} satisfies Area;
