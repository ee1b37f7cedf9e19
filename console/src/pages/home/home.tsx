import { Text } from "@mantine/core";
import { useMe } from "~/api/session";
import { Page } from "~/components/page";

export default function HomePage() {
  const me = useMe();
  return (
    <Page title="Home">
      <Text className="isolated">Signed in as {me.name ?? me.email ?? me.id}.</Text>
    </Page>
  );
}
