"""Prints what crosswheel must know of a Python interpreter, as one JSON document."""
import json
import os
import platform
import sys
import sysconfig

implementation = sys.implementation
version = implementation.version
implementation_version = "%d.%d.%d" % version[:3]
if version.releaselevel != "final":
    implementation_version += version.releaselevel[0] + str(version.serial)

libc = None
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION")
except (AttributeError, ValueError, OSError):
    pass

json.dump(
    {
        "executable": os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable),
        "base_prefix": sys.base_prefix,
        "version": list(sys.version_info[:3]),
        "implementation": implementation.name,
        "cache_tag": implementation.cache_tag,
        "abi_flags": getattr(sys, "abiflags", ""),
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "platform": sysconfig.get_platform(),
        "libc": libc,
        "cc": sysconfig.get_config_var("CC") or "",
        "cflags": sysconfig.get_config_var("CFLAGS") or "",
        "markers": {
            "implementation_name": implementation.name,
            "implementation_version": implementation_version,
            "os_name": os.name,
            "platform_machine": platform.machine(),
            "platform_python_implementation": platform.python_implementation(),
            "platform_release": platform.release(),
            "platform_system": platform.system(),
            "platform_version": platform.version(),
            "python_full_version": platform.python_version(),
            "python_version": ".".join(platform.python_version_tuple()[:2]),
            "sys_platform": sys.platform,
        },
    },
    sys.stdout,
)
