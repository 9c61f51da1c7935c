"""The server's tokens and TLS certificate, read from the files that the options name."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence

from serving.model_server.flags import Flags
from serving.model_server.guard import background
from serving.model_server.guard.auth import Access, is_loopback
from serving.model_server.guard.tls import ServerCertificate
from serving.model_server.logs import log
from serving.token_file import parse_tokens
from serving.watched_files import Contents, WatchedFiles
from transform.errors import UserError


@dataclasses.dataclass(frozen=True)
class Credentials:
    """The server's tokens and TLS certificate.

    Attributes:
      access: The tokens.
      certificate: The TLS certificate of both protocols; None without TLS.
      files: The files of the tokens and of the certificate, which are read again when they change.
    """

    access: Access
    certificate: ServerCertificate | None
    files: Sequence[WatchedFiles]

    async def watch(self, seconds: float) -> None:
        """Checks the files periodically, each group in a thread of its own, until cancelled."""

        async def watch(files: WatchedFiles) -> None:
            while True:
                await asyncio.sleep(seconds)
                await background.start(files.check, behind_requests=True)

        await asyncio.gather(*map(watch, self.files))  # a read that hangs does not delay the other files


def read_credentials(flags: Flags) -> Credentials:
    """Reads the files that the options name.

    Raises:
      UserError: If a file cannot be used, or the admin port is not on loopback and operators have no token.
    """
    access, certificate, files = Access(), None, []
    try:
        if flags.token_file:
            files.append(_token("the callers' token", flags.token_file, access.set_callers_tokens))
        if flags.operator_token_file:
            files.append(_token("the operator's token", flags.operator_token_file, access.set_operators_tokens))
        elif flags.admin_port is not None and not is_loopback(flags.admin_host):
            raise UserError(
                "the admin port must be bound to loopback, or `--operator-token-file` be given. "
                f"Received: `--admin-host {flags.admin_host}`"
            )
        if flags.tls_certificate and flags.tls_key:
            certificate = ServerCertificate(flags.tls_certificate, flags.tls_key, flags.tls_client_ca)
            files.append(WatchedFiles("the certificate", certificate.paths, certificate.take, _report))
    except OSError as error:
        raise UserError(f"a file of a token or a certificate must be readable. Received: {error}") from error
    return Credentials(access, certificate, files)


def _token(what: str, path: str, use: Callable[[Sequence[str]], None]) -> WatchedFiles:
    def take(contents: Contents) -> None:
        (content,) = contents
        use(parse_tokens(content, path))

    return WatchedFiles(what, (path,), take, _report)


def _report(level: str, message: str, reason: str | None) -> None:
    log(level, message, **({"reason": reason} if reason else {}))
