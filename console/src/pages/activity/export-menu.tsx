import { Button, Menu } from "@mantine/core";
import { IconDownload } from "@tabler/icons-react";
import { exportUrl } from "./queries";

/** Everything that passes the filters, streamed by the API as it reads it. */
export function ExportMenu({
  kind,
  filters,
}: {
  kind: "connections" | "events";
  filters: Record<string, string | undefined>;
}) {
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button variant="default" leftSection={<IconDownload size={16} />}>
          Export
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item component="a" href={exportUrl(kind, "csv", filters)} download={`${kind}.csv`}>
          CSV, as filtered
        </Menu.Item>
        <Menu.Item component="a" href={exportUrl(kind, "jsonl", filters)} download={`${kind}.jsonl`}>
          JSON lines, as filtered
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
