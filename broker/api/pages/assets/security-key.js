"use strict";

// Browsers read and write WebAuthn's messages as JSON by themselves (Level 3 §5.1); for older ones here is the little
// that is needed of it.
const decode = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const encode = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
const descriptors = (list) => list?.map((each) => ({ ...each, id: decode(each.id) }));

const ceremonies = {
  create: (json) => {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON?.(json) ?? {
      ...json,
      challenge: decode(json.challenge),
      user: { ...json.user, id: decode(json.user.id) },
      excludeCredentials: descriptors(json.excludeCredentials),
    };
    return navigator.credentials.create({ publicKey });
  },
  get: (json) => {
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON?.(json) ?? {
      ...json,
      challenge: decode(json.challenge),
      allowCredentials: descriptors(json.allowCredentials),
    };
    return navigator.credentials.get({ publicKey });
  },
};

function toJSON(credential) {
  if (credential.toJSON) return credential.toJSON();
  const response = { transports: credential.response.getTransports?.() };
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = encode(credential.response[name]);
  }
  return { id: credential.id, rawId: credential.id, type: credential.type, response };
}

const sentences = {
  InvalidStateError: "This key is registered already.",
  NotAllowedError: "That did not work, was cancelled, or took too long. Try again.",
  SecurityError: "This browser does not allow security keys at this address.",
};

async function answer(form, told) {
  const button = form.querySelector("button");
  button.disabled = true;
  told.className = "quiet";
  told.textContent = "Touch your security key.";
  try {
    const credential = await ceremonies[form.dataset.ceremony](JSON.parse(form.dataset.options));
    form.elements.response.value = JSON.stringify(toJSON(credential));
    form.submit();
  } catch (error) {
    told.className = "bad";
    told.textContent = sentences[error.name] ?? "This browser could not use the security key.";
    button.disabled = false;
    button.focus();
  }
}

for (const form of document.querySelectorAll("form[data-ceremony]")) {
  const told = form.querySelector("[role=status]");
  if (!window.PublicKeyCredential) {
    told.textContent = "This browser cannot use security keys here.";
    continue;
  }
  const button = form.querySelector("button");
  button.disabled = false;
  if (form.dataset.ceremony === "get") button.focus();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    answer(form, told);
  });
}
