import { IconDatabase, IconDeviceLaptop, IconDevices2, IconHandStop, IconShieldLock } from "@tabler/icons-react";
import type { Area } from "~/area";

export default {
  pages: [
    { path: "/mine/resources", page: () => import("./resources") },
    { path: "/mine/devices", page: () => import("./devices") },
    { path: "/mine/denials", page: () => import("./denials") },
    { path: "/mine/sessions", page: () => import("./sessions") },
    { path: "/mine/security", page: () => import("./security") },
  ],
  nav: [
    {
      section: "Mine",
      label: "My resources",
      to: "/mine/resources",
      icon: IconDatabase,
      permission: "self:read",
      order: 10,
    },
    {
      section: "Mine",
      label: "My devices",
      to: "/mine/devices",
      icon: IconDeviceLaptop,
      permission: "self:read",
      order: 20,
    },
    {
      section: "Mine",
      label: "Denied to me",
      to: "/mine/denials",
      icon: IconHandStop,
      permission: "self:read",
      order: 30,
    },
    {
      section: "Mine",
      label: "My sessions",
      to: "/mine/sessions",
      icon: IconDevices2,
      permission: "self:read",
      order: 40,
    },
    {
      section: "Mine",
      label: "My sign-in",
      to: "/mine/security",
      icon: IconShieldLock,
      permission: "self:read",
      order: 50,
    },
  ],
} satisfies Area;
