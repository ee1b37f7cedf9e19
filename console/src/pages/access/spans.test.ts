import { expect, test } from "vitest";
import type { AccessSpan } from "./queries";
import { barsByDevice } from "./spans";

const span = (device: string, since: number | null, until: number | null) =>
  ({
    device,
    verdict: "permitted",
    since: since === null ? null : new Date(since).toISOString(),
    until: until === null ? null : new Date(until).toISOString(),
  }) as AccessSpan;

test("stretches are parts of the time that is shown, by device", () => {
  const bars = barsByDevice([span("a", null, 1_250), span("b", 1_500, null), span("a", 1_750, 2_000)], 1_000, 2_000);
  expect(bars.map(([id, list]) => [id, list.map(({ left, width }) => [left, width])])).toEqual([
    [
      "a",
      [
        [0, 25],
        [75, 25],
      ],
    ],
    ["b", [[50, 50]]],
  ]);
});

test("what reaches beyond is cut off at the edges", () => {
  const [[, bars] = ["", []]] = barsByDevice([span("a", 0, 9_000)], 1_000, 2_000);
  expect(bars[0]).toMatchObject({ left: 0, width: 100 });
});
