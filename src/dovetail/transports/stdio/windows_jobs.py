"""Windows: a job object that ends a server and all its descendants.

Theory of operation. The child is put into a job that kills its members when the last handle to it closes.
That holds however we end: the system closes our handles. A child started between the creation of the server
and its assignment would escape; the server cannot have run for more than an instant by then.

This module is imported on Windows only.

Specification: basic/transports, "stdio", "Shutdown".
"""

from __future__ import annotations

import ctypes
from ctypes import wintypes
from typing import Any, Final

from ...logs import get_logger

__all__ = ["Job"]

_log = get_logger(__name__)

_KILL_ON_JOB_CLOSE: Final = 0x2000
_EXTENDED_LIMIT_INFORMATION: Final = 9
_BASIC_ACCOUNTING_INFORMATION: Final = 1
_PROCESS_TERMINATE: Final = 0x0001
_PROCESS_SET_QUOTA: Final = 0x0100


class _BasicLimits(ctypes.Structure):
    _fields_ = (
        ("per_process_user_time_limit", wintypes.LARGE_INTEGER),
        ("per_job_user_time_limit", wintypes.LARGE_INTEGER),
        ("limit_flags", wintypes.DWORD),
        ("minimum_working_set_size", ctypes.c_size_t),
        ("maximum_working_set_size", ctypes.c_size_t),
        ("active_process_limit", wintypes.DWORD),
        ("affinity", ctypes.c_size_t),
        ("priority_class", wintypes.DWORD),
        ("scheduling_class", wintypes.DWORD),
    )


class _ExtendedLimits(ctypes.Structure):
    _fields_ = (
        ("basic", _BasicLimits),
        ("io_counters", ctypes.c_ulonglong * 6),
        ("process_memory_limit", ctypes.c_size_t),
        ("job_memory_limit", ctypes.c_size_t),
        ("peak_process_memory_used", ctypes.c_size_t),
        ("peak_job_memory_used", ctypes.c_size_t),
    )


class _Accounting(ctypes.Structure):
    _fields_ = (
        ("times", wintypes.LARGE_INTEGER * 4),
        ("total_page_fault_count", wintypes.DWORD),
        ("total_processes", wintypes.DWORD),
        ("active_processes", wintypes.DWORD),
        ("total_terminated_processes", wintypes.DWORD),
    )


def _kernel() -> Any:
    """kernel32 with the signatures declared: handles are pointers and must not be cut to 32 bits."""
    kernel: Any = getattr(ctypes, "WinDLL")("kernel32", use_last_error=True)  # noqa: B009 - exists on Windows only
    handle, dword, boolean, pointer = wintypes.HANDLE, wintypes.DWORD, wintypes.BOOL, ctypes.c_void_p
    for name, result, arguments in (
        ("CreateJobObjectW", handle, (pointer, wintypes.LPCWSTR)),
        ("SetInformationJobObject", boolean, (handle, ctypes.c_int, pointer, dword)),
        ("QueryInformationJobObject", boolean, (handle, ctypes.c_int, pointer, dword, pointer)),
        ("AssignProcessToJobObject", boolean, (handle, handle)),
        ("TerminateJobObject", boolean, (handle, wintypes.UINT)),
        ("OpenProcess", handle, (dword, boolean, dword)),
        ("CloseHandle", boolean, (handle,)),
    ):
        function = getattr(kernel, name)
        function.restype, function.argtypes = result, arguments
    return kernel


class Job:
    """A job with one server in it; the face of `process_group.ProcessGroup`."""

    def __init__(self, pid: int) -> None:
        self._kernel = _kernel()
        self._handle: Any = self._kernel.CreateJobObjectW(None, None)
        limits = _ExtendedLimits()
        limits.basic.limit_flags = _KILL_ON_JOB_CLOSE
        process = self._kernel.OpenProcess(_PROCESS_TERMINATE | _PROCESS_SET_QUOTA, False, pid)
        try:
            joined = (
                self._handle
                and process
                and self._kernel.SetInformationJobObject(
                    self._handle, _EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), ctypes.sizeof(limits)
                )
                and self._kernel.AssignProcessToJobObject(self._handle, process)
            )
        finally:
            if process:
                self._kernel.CloseHandle(process)
        if not joined:
            _log.warning("a server could not be put into a job; processes that it starts may outlive it")
            self.close()

    def ask(self) -> bool:
        """Windows has no signal that a process without a console would get; the closed input was the
        question.
        """
        return False

    def kill(self) -> None:
        """End every member."""
        if self._handle:
            self._kernel.TerminateJobObject(self._handle, 1)

    def alive(self) -> bool:
        """Whether the job has members."""
        counts = _Accounting()
        return bool(
            self._handle
            and self._kernel.QueryInformationJobObject(
                self._handle, _BASIC_ACCOUNTING_INFORMATION, ctypes.byref(counts), ctypes.sizeof(counts), None
            )
            and counts.active_processes
        )

    def close(self) -> None:
        """Close the handle, which ends whoever is left."""
        handle, self._handle = self._handle, None
        if handle:
            self._kernel.CloseHandle(handle)
