import type { Area } from "~/area";

export default {
  pages: [
    { path: "/sign-in", page: () => import("./sign-in"), bare: true },
    { path: "/setup", page: () => import("./setup"), bare: true },
  ],
} satisfies Area;
