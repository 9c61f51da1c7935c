"""The claim on a workspace: the lock of its writer, and the owner of its database."""
