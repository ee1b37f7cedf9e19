import { expect, test } from "vitest";
import { draftOf, keepDraft, lineRange } from "./queries";
import { summaryText } from "./summary";

const SUMMARY = { create: 0, change: 0, remove: 0, gained: 0, lost: 0, cut: 0 };

test("a summary names only what happens", () => {
  expect(summaryText(SUMMARY)).toBe("changes nothing");
  expect(summaryText({ ...SUMMARY, create: 2, lost: 1 })).toBe("2 new; 1 lose");
});

test("a line is found in the document", () => {
  expect(lineRange("a\nbcd\ne", 2)).toEqual([2, 5]);
  expect(lineRange("a", 9)).toEqual([2, 2]);
});

test("documents are kept for the last plans only", () => {
  for (let n = 0; n <= 20; n++) keepDraft({ document: `# ${n}`, prune: false }, `hash-${n}`);
  expect(draftOf("hash-0")).toBeUndefined();
  expect(draftOf("hash-20")?.document).toBe("# 20");
});
