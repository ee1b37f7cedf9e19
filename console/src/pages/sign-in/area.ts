import type { Area } from "~/area";

export default {
  pages: [{ path: "/sign-in", page: () => import("./sign-in"), bare: true }],
} satisfies Area;
