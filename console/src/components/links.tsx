import { Anchor, type AnchorProps, Button, type ButtonProps } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";

interface To {
  /** A path of the console, ids and query included: `/resources/${id}`. */
  to: string;
  search?: Record<string, unknown>;
  children?: ReactNode;
}

/** A link to a page of the console. */
export function PageLink({ to, search, children, ...rest }: To & Omit<AnchorProps, "component">) {
  return (
    <Anchor component={Link} inherit className="isolated" {...({ to, search } as object)} {...rest}>
      {children}
    </Anchor>
  );
}

/** The same, as a button. */
export function ButtonLink({ to, search, children, ...rest }: To & ButtonProps) {
  return (
    <Button component={Link} {...({ to, search } as object)} {...rest}>
      {children}
    </Button>
  );
}
