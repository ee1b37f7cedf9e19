import { notifications } from "@mantine/notifications";
import { problemOf } from "~/api/problem";

/** Says shortly that something was done. */
export function told(message: string): void {
  notifications.show({ message, color: "teal", autoClose: 5000 });
}

/** Says why something was not, where no form or dialog can. */
export function toldProblem(error: unknown): void {
  const { title, detail, next } = problemOf(error);
  notifications.show({ title, message: `${detail} ${next}`, color: "red", autoClose: 12_000 });
}
