import { Button } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconTrash } from "@tabler/icons-react";
import type { QueryKey } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { queryClient } from "~/api/queries";
import { type Blast, ConfirmDanger } from "~/components/confirm-danger";
import { told } from "~/components/notify";

interface RemovalProps {
  /** Whom the question names: "wiki", "the grant of ada on wiki". */
  name: string;
  /** What the thing is, as the button of the question says it: "resource". */
  noun: string;
  /** The button of the page. */
  label?: string;
  /** What is said afterwards. */
  done?: string;
  /** How the API keeps it; its first word is also the page of its list. */
  queryKey: QueryKey;
  /** Lists besides its own that show it. */
  also?: string[];
  blast: () => Promise<Blast>;
  act: () => Promise<unknown>;
}

/** The button of a detail page that takes the thing away: asks first, and leads back to the list. */
export function Removal(props: RemovalProps) {
  const { name, noun, label = "Remove", done = `${name} is removed.`, queryKey, also = [], blast, act } = props;
  const navigate = useNavigate();
  const [asking, dialog] = useDisclosure();
  const list = String(queryKey[0]);
  const gone = async () => {
    await navigate({ to: `/${list}` } as never);
    told(done);
    // First the page is left: a page that still shows the thing would ask for it again and be refused.
    queryClient.removeQueries({ queryKey });
    await Promise.all([list, ...also].map((key) => queryClient.invalidateQueries({ queryKey: [key] })));
  };
  return (
    <>
      <Button variant="default" leftSection={<IconTrash size={16} />} onClick={dialog.open}>
        {label}
      </Button>
      <ConfirmDanger
        opened={asking}
        onClose={dialog.close}
        title={`${label} ${name}?`}
        verb={`${label} ${noun}`}
        blast={blast}
        act={act}
        done={gone}
      />
    </>
  );
}
