import { expect, test } from "vitest";
import { agentText } from "~/pages/settings/session-table";
import { bestWay, whyText } from "./ways";

const way = (device: string, verdict: "permitted" | "conditional" | "denied") => ({
  device,
  verdict,
  reason: null,
  sentence: null,
  next: null,
});

test("the device from which it works is told", () => {
  expect(bestWay([way("a", "denied"), way("b", "permitted"), way("c", "conditional")])?.device).toBe("b");
  expect(bestWay([])).toBeUndefined();
});

test("why somebody has a resource is told grant by grant", () => {
  const grant = { id: "gra_a", via_name: null, expires_at: null, expired: false, policy: null };
  expect(whyText([{ ...grant, via: "group", via_name: "engineers", policy: "work hours" }])).toBe(
    "as a member of engineers, under work hours",
  );
  expect(whyText([{ ...grant, via: "user", expired: true }])).toBe("by a grant of your own (expired)");
  expect(whyText([])).toBe("–");
});

test("a browser is told by its name", () => {
  expect(agentText("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")).toBe("Firefox on Linux");
  expect(agentText("curl/8.0")).toBe("curl/8.0");
});
