import { Alert, List, Stack, Text, Title } from "@mantine/core";
import { CommandBlock } from "~/components/copy";
import { Page } from "~/components/page";

/** A backup holds personal data and password hashes: it is made on the controller's host and goes through no browser. */
export default function BackupPage() {
  return (
    <Page title="Backup" subtitle="Made on the controller's host, while it runs; it goes through no browser.">
      <Stack maw={820}>
        <Title order={2} size="h4">
          Make one
        </Title>
        <CommandBlock command="ostiary-controller backup /var/backups/ostiary-$(date +%F).backup" />
        <Text size="sm">
          It holds the whole database as of one moment and is read again when it is written. Check it later, or on
          another host:
        </Text>
        <CommandBlock command="ostiary-controller backup --check /var/backups/ostiary-2026-11-22.backup" />
        <Alert color="orange" variant="light" title="The master secret is not in it">
          A backup without master.secret cannot be restored. Copy that file once, and keep it at another place than the
          backups. Encrypt backups before they leave the host: they hold personal data.
        </Alert>
        <Title order={2} size="h4">
          Restore
        </Title>
        <CommandBlock
          command={[
            "install -m 600 /safe/master.secret /var/lib/ostiary/controller/master.secret",
            "ostiary-controller restore /var/backups/ostiary-2026-11-22.backup --export events.jsonl",
            "ostiary-controller restore --bump-epoch",
            "ostiary-controller serve",
          ].join("\n")}
        />
        <List size="sm">
          <List.Item>Access that was taken away after the backup lives again; restore lists whose.</List.Item>
          <List.Item>Raising the epoch makes every agent take the restored policy.</List.Item>
          <List.Item>
            Keep a nightly export of the audit trail elsewhere: it tells what the backup does not know.
          </List.Item>
        </List>
      </Stack>
    </Page>
  );
}
