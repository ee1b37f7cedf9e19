import { problemOf } from "~/api/problem";

/** Loaded when there is something to tell: the first page has nothing. */
async function show(
  message: Parameters<typeof import("@mantine/notifications")["notifications"]["show"]>[0],
): Promise<void> {
  const { notifications } = await import("@mantine/notifications");
  notifications.show({ closeButtonProps: { "aria-label": "Close" }, ...message });
}

/** Says shortly that something was done. */
export function told(message: string): void {
  void show({ message, color: "teal", autoClose: 5000 });
}

/** Says why something was not, where no form or dialog can. */
export function toldProblem(error: unknown): void {
  const { title, detail, next } = problemOf(error);
  void show({ title, message: `${detail} ${next}`, color: "red", autoClose: 12_000 });
}
