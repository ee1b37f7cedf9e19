import { api, call, type Schemas } from "~/api/client";

/**
 * Passkeys in this browser. The API hands out options and takes answers in the JSON forms of the standard (WebAuthn level 3);
 * a cookie that no script reads binds the two.
 */

/** Whether this browser can use passkeys at all. */
export function passkeysWork(): boolean {
  return typeof PublicKeyCredential === "function" && "parseRequestOptionsFromJSON" in PublicKeyCredential;
}

/** Thrown when the person has closed the browser's dialog: nothing to tell. */
export class PasskeyCancelled extends Error {}

async function ask(how: () => Promise<Credential | null>): Promise<PublicKeyCredential> {
  try {
    const found = await how();
    if (found instanceof PublicKeyCredential) return found;
  } catch (error) {
    // The standard gives one name to refusals, absent passkeys and time-outs, so that pages learn nothing.
    if (!(error instanceof DOMException) || !["NotAllowedError", "AbortError"].includes(error.name)) throw error;
  }
  throw new PasskeyCancelled();
}

/** Signs in to the console with a passkey of whoever is asked by the browser. */
export async function signInWithPasskey(): Promise<void> {
  const { options } = await call(api.POST("/api/v1/passkeys/begin"));
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options as never);
  const used = await ask(() => navigator.credentials.get({ publicKey }));
  const credential = used.toJSON() as Schemas["UsedCredential"];
  await call(api.POST("/api/v1/passkeys/sign-in", { body: { credential, kind: "console" } }));
}

/** Makes a passkey for the person who is signed in. */
export async function addPasskey(name: string): Promise<void> {
  const { options } = await call(api.POST("/api/v1/me/passkeys/begin"));
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options as never);
  const made = await ask(() => navigator.credentials.create({ publicKey }));
  const credential = made.toJSON() as Schemas["NewCredential"];
  await call(api.POST("/api/v1/me/passkeys", { body: { name, credential } }));
}
