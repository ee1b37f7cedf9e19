import { QueryCache, QueryClient } from "@tanstack/react-query";
import { isProblem } from "~/api/problem";

let whenSignedOut: () => void = () => {};

/** Tells what is to happen when the session turns out to have ended. */
export function onSignedOut(act: () => void): void {
  whenSignedOut = act;
}

/** Goes to the sign-in page, and back here afterwards. */
export function signedOut(): void {
  whenSignedOut();
}

/** Call it with every error of the API that no component shows: an ended session leads to the sign-in page and back. */
export function noticeError(error: unknown): void {
  if (isProblem(error, "sign_in_required")) whenSignedOut();
}

function worthRepeating(failures: number, error: unknown): boolean {
  return failures < 2 && error instanceof TypeError;
}

export const queryClient = new QueryClient({
  queryCache: new QueryCache({ onError: noticeError }),
  defaultOptions: {
    queries: { staleTime: 10_000, gcTime: 300_000, retry: worthRepeating, refetchOnWindowFocus: true },
    mutations: { retry: false, onError: noticeError },
  },
});
