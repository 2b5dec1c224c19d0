"""The load: bytes made beforehand, sent over sockets and pipes, and the answers checked."""
