// Replacement for PortOne's browser SDK: the subset of window.PortOne.requestPayment that the
// sandbox supports.
(() => {
  "use strict";
  const standIn = new URL(document.currentScript.src).origin;

  class PortOneError extends Error {
    constructor(refusal) {
      super(refusal.message);
      Object.assign(this, refusal, { name: "PortOneError" });
    }
  }

  // Resolves with the payment's result, or with undefined when the browser leaves the page. Rejects
  // a request that is refused before the window opens.
  async function requestPayment(request) {
    const isMobile = /Mobi|Android/i.test(navigator.userAgent);
    const response = await fetch(`${standIn}/sandbox/portone/sdk/request-payment`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ...request, isMobile }),
    });
    const begun = await response.json();
    if (!begun.checkoutUrl) {
      const unknown = { code: "UnknownError", message: begun.message ?? "UnknownError" };
      const refusal = begun.refusal ?? unknown;
      if (begun.rejects === false) return refusal;
      throw new PortOneError(refusal);
    }
    if (request.forceRedirect || (isMobile && request.redirectUrl)) {
      location.assign(begun.checkoutUrl);
      return undefined;
    }
    return openWindow(begun);
  }

  // Opens the window over the page and resolves with the result that the window posts.
  function openWindow({ checkoutUrl, txId }) {
    const frame = document.createElement("iframe");
    frame.src = checkoutUrl;
    frame.title = "PortOne 모의 결제창";
    Object.assign(frame.style, {
      position: "fixed",
      inset: "0",
      width: "100%",
      height: "100%",
      border: "0",
      zIndex: "2147483647",
      background: "rgb(15 23 42 / .6)",
    });
    document.body.append(frame);
    frame.focus();
    return new Promise((resolve) => {
      addEventListener("message", function listen(event) {
        if (event.origin !== standIn || event.source !== frame.contentWindow) return;
        if (event.data?.txId !== txId) return;
        removeEventListener("message", listen);
        frame.remove();
        resolve(event.data);
      });
    });
  }

  window.PortOne = { requestPayment, PortOneError };
})();
