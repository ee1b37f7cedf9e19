import type { ComponentType } from "react";

/** A page: its path below the root, and the module whose `default` is its component; loaded when it is first shown. */
export interface PageEntry {
  path: string;
  page: () => Promise<{ default: ComponentType }>;
  /** Shown without sidebar and to anybody: sign-in and first set-up. */
  bare?: boolean;
}

/** An entry of the sidebar and of the palette. */
export interface NavEntry {
  section: Section;
  label: string;
  to: string;
  icon: ComponentType<{ size?: number | string; stroke?: number | string }>;
  /** Without it the entry is not shown. The API asks again. */
  permission?: string;
  /** Order within the section; lower is higher. */
  order: number;
}

/** Something that the palette found. */
export interface Found {
  label: string;
  description?: string;
  to: string;
}

export const SECTIONS = ["Overview", "Network", "People", "Access", "Activity", "Settings", "Mine"] as const;
export type Section = (typeof SECTIONS)[number];

/** What a folder of `src/pages` adds to the console: the default export of its `area.ts`. */
export interface Area {
  pages: PageEntry[];
  nav?: NavEntry[];
  /** Finds things of this area by what somebody typed; only called when `permission` is held. */
  find?: { permission: string; search: (typed: string) => Promise<Found[]> };
}
