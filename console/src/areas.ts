import type { Area } from "~/area";

/** Every `src/pages/<area>/area.ts`: a new page needs no change here, so that nobody edits the same file. */
const modules = import.meta.glob<{ default: Area }>("./pages/*/area.ts", { eager: true });

export const areas: Area[] = Object.keys(modules)
  .sort()
  .flatMap((path) => modules[path]?.default ?? []);
