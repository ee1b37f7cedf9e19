import { expect, test } from "vitest";
import { filled, HOUR_MS } from "./timeline";

test("hours without connections stay in the picture", () => {
  const start = new Date(2 * HOUR_MS).toISOString();
  const bars = filled([{ start, allowed: 3, denied: 1, failed: 0 }], HOUR_MS, 3);
  expect(bars.map(({ allowed }) => allowed)).toEqual([0, 3, 0]);
});
