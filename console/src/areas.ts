import type { Area } from "~/area";

/** Every `src/pages/<area>/area.ts`, found by its place: a new page is listed nowhere else. */
const modules = import.meta.glob<{ default: Area }>("./pages/*/area.ts", { eager: true });

export const areas: Area[] = Object.keys(modules)
  .sort()
  .flatMap((path) => modules[path]?.default ?? []);
