import { IconDeviceLaptop } from "@tabler/icons-react";
import type { Area } from "~/area";

export default {
  pages: [
    { path: "/devices", page: () => import("./list") },
    { path: "/devices/$id", page: () => import("./detail") },
  ],
  nav: [
    {
      section: "People",
      label: "Devices",
      to: "/devices",
      icon: IconDeviceLaptop,
      permission: "devices:read",
      order: 40,
    },
  ],
  find: {
    permission: "devices:read",
    search: async (typed) => (await import("./queries")).findDevices(typed),
  },
} satisfies Area;
