import { IconShieldCheck } from "@tabler/icons-react";
import type { Area } from "~/area";

export default {
  pages: [
    { path: "/policies", page: () => import("./list") },
    { path: "/policies/$id", page: () => import("./detail") },
  ],
  nav: [
    {
      section: "Access",
      label: "Policies",
      to: "/policies",
      icon: IconShieldCheck,
      permission: "policies:read",
      order: 30,
    },
  ],
  find: {
    permission: "policies:read",
    search: async (typed) => (await import("./queries")).findPolicies(typed),
  },
} satisfies Area;
