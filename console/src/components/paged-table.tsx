import { Button, Center, Loader, ScrollArea, Stack, Table, Text } from "@mantine/core";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useMemo, useRef } from "react";
import type { PagedQuery } from "~/api/pages";
import { ProblemAlert } from "~/components/problem-alert";

export interface Column<T> {
  /** Its head; also how the row is read to people who do not see it. */
  label: string;
  cell: (item: T) => ReactNode;
  width?: number | string;
  /** Left out on narrow screens. */
  wide?: boolean;
}

interface PagedTableProps<T> {
  /** What the table shows, for screen readers: "Resources". */
  label: string;
  query: PagedQuery<T>;
  columns: Column<T>[];
  keyOf: (item: T) => string;
  /** Shown when there is nothing: an `<EmptyState>`. */
  empty: ReactNode;
  height?: number | string;
}

const ROW_PX = 44;
/** Below so many rows all of them are drawn: then the browser's own search finds them. */
const VIRTUAL_FROM = 150;

/**
 * A list of the API, page by page: the next page is asked for by a button, and only the rows in sight are drawn, so that
 * 50,000 of them scroll as easily as 50.
 */
export function PagedTable<T>({ label, query, columns, keyOf, empty, height = "70vh" }: PagedTableProps<T>) {
  const items = useMemo(() => query.data?.pages.flatMap((page) => page.items) ?? [], [query.data]);
  if (query.isPending) {
    return (
      <Center mih={160}>
        <Loader role="status" aria-label={`Loading ${label.toLowerCase()}`} />
      </Center>
    );
  }
  if (query.isError && items.length === 0) return <ProblemAlert error={query.error} retry={() => query.refetch()} />;
  if (items.length === 0) return empty;
  return (
    <Stack gap="sm">
      <ProblemAlert error={query.error} retry={() => query.refetch()} />
      <Rows label={label} items={items} columns={columns} keyOf={keyOf} height={height} />
      <Stack gap={4} align="center">
        <Text size="sm" c="dimmed" aria-live="polite">
          {items.length.toLocaleString("en")} shown{query.hasNextPage ? ", there are more" : ""}
        </Text>
        {query.hasNextPage && (
          <Button variant="default" loading={query.isFetchingNextPage} onClick={() => query.fetchNextPage()}>
            Load more
          </Button>
        )}
      </Stack>
    </Stack>
  );
}

interface RowsProps<T> {
  label: string;
  items: T[];
  columns: Column<T>[];
  keyOf: (item: T) => string;
  height?: number | string;
}

/** Rows that are there already; the part of `PagedTable` for lists that come whole. */
export function Rows<T>({ label, items, columns, keyOf, height = "70vh" }: RowsProps<T>) {
  const viewport = useRef<HTMLDivElement>(null);
  const virtual = items.length >= VIRTUAL_FROM;
  const virtualizer = useVirtualizer({
    count: items.length,
    getScrollElement: () => viewport.current,
    estimateSize: () => ROW_PX,
    overscan: 12,
    enabled: virtual,
  });
  const drawn = virtual ? virtualizer.getVirtualItems() : items.map((_, index) => ({ index }));
  const before = virtual ? (virtualizer.getVirtualItems()[0]?.start ?? 0) : 0;
  const after = virtual ? virtualizer.getTotalSize() - (virtualizer.getVirtualItems().at(-1)?.end ?? 0) : 0;
  return (
    <ScrollArea.Autosize
      mah={height}
      viewportRef={viewport}
      type="auto"
      viewportProps={{ tabIndex: 0, role: "region", "aria-label": label }}
    >
      <Table highlightOnHover stickyHeader verticalSpacing="xs" aria-label={label} aria-rowcount={items.length + 1}>
        <Table.Thead>
          <Table.Tr>
            {columns.map((column) => (
              <Table.Th key={column.label} w={column.width} visibleFrom={column.wide ? "md" : undefined}>
                {column.label}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {before > 0 && <Filler height={before} columns={columns.length} />}
          {drawn.map(({ index }) => {
            const item = items[index] as T;
            return (
              <Table.Tr
                key={keyOf(item)}
                aria-rowindex={index + 2}
                data-index={index}
                ref={virtual ? virtualizer.measureElement : undefined}
              >
                {columns.map((column) => (
                  <Table.Td key={column.label} visibleFrom={column.wide ? "md" : undefined}>
                    {column.cell(item)}
                  </Table.Td>
                ))}
              </Table.Tr>
            );
          })}
          {after > 0 && <Filler height={after} columns={columns.length} />}
        </Table.Tbody>
      </Table>
    </ScrollArea.Autosize>
  );
}

function Filler({ height, columns }: { height: number; columns: number }) {
  return (
    <tr aria-hidden>
      <td colSpan={columns} style={{ height, padding: 0 }} />
    </tr>
  );
}
