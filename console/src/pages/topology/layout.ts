import dagre from "@dagrejs/dagre";
import type { Graph } from "./graph";

export const NODE = { width: 200, height: 64 } as const;

/** Where each thing stands, from people on the left to relays on the right. */
export function placesOf({ things, ties }: Graph): Map<string, { x: number; y: number }> {
  const drawing = new dagre.graphlib.Graph();
  drawing.setGraph({ rankdir: "LR", nodesep: 18, ranksep: 70 });
  drawing.setDefaultEdgeLabel(() => ({}));
  for (const { id } of things) drawing.setNode(id, { ...NODE });
  for (const { from, to } of ties) drawing.setEdge(from, to);
  dagre.layout(drawing);
  return new Map(
    things.map(({ id }) => {
      const { x, y } = drawing.node(id) as { x: number; y: number };
      return [id, { x: x - NODE.width / 2, y: y - NODE.height / 2 }];
    }),
  );
}
