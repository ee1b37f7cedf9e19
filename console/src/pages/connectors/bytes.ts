import type { Schemas } from "~/api/client";

type Told = Pick<Schemas["Connection"], "path" | "bytes_up" | "bytes_down">;

/** Bytes by the path that they took (`relay`, `direct`), most first. */
export function bytesByPath(connections: Told[]): { path: string; up: number; down: number; count: number }[] {
  const sums = new Map<string, { path: string; up: number; down: number; count: number }>();
  for (const { path, bytes_up, bytes_down } of connections) {
    const name = path || "no path";
    const sum = sums.get(name) ?? { path: name, up: 0, down: 0, count: 0 };
    sum.up += bytes_up;
    sum.down += bytes_down;
    sum.count += 1;
    sums.set(name, sum);
  }
  return [...sums.values()].sort((a, b) => b.up + b.down - a.up - a.down);
}
