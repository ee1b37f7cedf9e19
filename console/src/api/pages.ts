import { type InfiniteData, type QueryKey, type UseInfiniteQueryResult, useInfiniteQuery } from "@tanstack/react-query";

export interface Page<T> {
  items: T[];
  next_cursor?: string | null;
}

export type PagedQuery<T> = UseInfiniteQueryResult<InfiniteData<Page<T>>>;

/**
 * Reads a list of the API page by page (server-side cursors): give it to `<PagedTable>`.
 *
 * `queryKey` begins with the kind, such as `["resources", filters]`: live events invalidate by it. What no event tells of is
 * asked again each `poll_ms`, as long as nobody has gone on to further pages.
 */
export function usePages<T>(
  queryKey: QueryKey,
  load: (cursor: string | undefined) => Promise<Page<T>>,
  poll_ms?: number,
): PagedQuery<T> {
  return useInfiniteQuery({
    queryKey,
    queryFn: ({ pageParam }) => load(pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page: Page<T>) => page.next_cursor ?? undefined,
    refetchInterval: ({ state }) => (poll_ms && (state.data?.pages.length ?? 0) <= 1 ? poll_ms : false),
  });
}

/** Reads a whole list that is known to be short (networks, relays), for choices in forms. Stops after `pages`. */
export async function allOf<T>(load: (cursor: string | undefined) => Promise<Page<T>>, pages = 10): Promise<T[]> {
  const found: T[] = [];
  let cursor: string | undefined;
  for (let n = 0; n < pages; n++) {
    const page = await load(cursor);
    found.push(...page.items);
    if (!page.next_cursor) break;
    cursor = page.next_cursor;
  }
  return found;
}
