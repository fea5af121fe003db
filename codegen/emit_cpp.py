"""The C++ header of a model: one class over the functions of its C header, and nothing more."""

from __future__ import annotations

from thumbnet.codegen.emit_c import ctype
from thumbnet.codegen.emit_header import Edge
from thumbnet.codegen.schedule import CONTROL, Schedule

# Words of C++ up to C++23 that C has not, so that a model may be called by them.
# fmt: off
_KEYWORDS = frozenset((
    "alignas", "alignof", "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "catch",
    "char16_t", "char32_t", "char8_t", "class", "co_await", "co_return", "co_yield", "compl",
    "concept", "const_cast", "consteval", "constexpr", "constinit", "decltype", "delete",
    "dynamic_cast", "explicit", "export", "false", "friend", "mutable", "namespace", "new",
    "noexcept", "not", "not_eq", "nullptr", "operator", "or", "or_eq", "private", "protected",
    "public", "reinterpret_cast", "requires", "static_assert", "static_cast", "template", "this",
    "thread_local", "throw", "true", "try", "typeid", "typename", "using", "virtual", "wchar_t",
    "xor", "xor_eq",
))
# fmt: on
_MEMBERS = frozenset(("at", "init", "run", "begin", "step", "feed", "run_rows"))


def class_name(name: str, edges: list[Edge]) -> str:
    """The class of model `name`: its name, with an underscore where C++ or a member has it."""
    members = {e.suffix for e in edges}
    members |= {f"quantize_{e.suffix}" for e in edges} | {f"dequantize_{e.suffix}" for e in edges}
    return f"{name}_" if name in _KEYWORDS | _MEMBERS | members else name


def emit_cpp_header(schedule: Schedule, name: str, banner: str, edges: list[Edge]) -> str:
    """The model's .hpp file, C++11."""
    upper, cls = name.upper(), class_name(name, edges)
    members = [
        *_drive(schedule, name, edges),
        *(_accessor(name, e) for e in edges if not e.is_fed),
        *(_conversion(name, e) for e in edges),
    ]
    body = "\n".join(members)
    return f"""{banner}

#ifndef {upper}_HPP
#define {upper}_HPP

#include <stddef.h>

#include "{name}.h"

namespace thumbnet {{

/* The model on an arena of yours. An object is a pointer: it owns and allocates nothing, throws
 * nothing, and its constructor is no code. What the functions do is said in {name}.h. */
class {cls} {{
  public:
    /* An array of {upper}_ARENA_SIZE bytes or more that is declared {upper}_ARENA_ALIGN. */
    template <size_t size>
    explicit constexpr {cls}(uint8_t (&memory)[size]) noexcept : arena_(memory) {{
        static_assert(size >= {upper}_ARENA_SIZE, "the arena needs {upper}_ARENA_SIZE bytes");
    }}
    /* The same of memory whose size is not known here. */
    static constexpr {cls} at(uint8_t *memory) noexcept {{ return {cls}(memory, nullptr); }}

{body}

  private:
    constexpr {cls}(uint8_t *memory, decltype(nullptr)) noexcept : arena_(memory) {{}}
    uint8_t *arena_;
}};

}} // namespace thumbnet

#endif
"""


def _drive(schedule: Schedule, name: str, edges: list[Edge]) -> list[str]:
    """What runs the model."""
    lines = []
    if schedule.graph.states:
        lines.append(f"    void init() noexcept {{ ::{name}_init(arena_); }}")
    fed = next((e for e in edges if e.is_fed), None)
    if fed is not None:
        element, upper = ctype(fed.tensor.dtype), name.upper()
        return [
            *lines,
            f"    void begin() noexcept {{ ::{name}_begin(arena_); }}",
            f"    bool feed(const {element} (&row)[{upper}_INPUT_ROW_SIZE]) noexcept {{",
            f"        return ::{name}_feed(arena_, row) != 0;",
            "    }",
            f"    void run_rows(const {element} (&input)[{upper}_INPUT_SIZE]) noexcept {{",
            f"        ::{name}_run_rows(arena_, input);",
            "    }",
        ]
    lines.append(f"    void run() noexcept {{ ::{name}_run(arena_); }}")
    if CONTROL in schedule.storages:
        lines += [
            f"    void begin() noexcept {{ ::{name}_begin(arena_); }}",
            f"    bool step() noexcept {{ return ::{name}_step(arena_) != 0; }}",
        ]
    return lines


def _accessor(name: str, edge: Edge) -> str:
    """Gives a reference to the whole array, so that its size is part of its type."""
    const = "" if edge.is_input else "const "
    array, after = f"{const}{edge.suffix}_array &", "" if edge.is_input else " const"
    element, size = ctype(edge.tensor.dtype), f"{name}_{edge.suffix}".upper() + "_SIZE"
    return (
        f"    using {edge.suffix}_array = {element}[{size}];\n"
        f"    {array}{edge.suffix}(){after} noexcept {{\n"
        f"        return reinterpret_cast<{array}>(*::{edge.accessor}(arena_));\n"
        "    }"
    )


def _conversion(name: str, edge: Edge) -> str:
    element = ctype(edge.tensor.dtype)
    if edge.is_input:
        function, parameter, result = f"quantize_{edge.suffix}", "float real", element
    else:
        function, parameter, result = f"dequantize_{edge.suffix}", f"{element} q", "float"
    return (
        f"    static {result} {function}({parameter}) noexcept {{\n"
        f"        return ::{name}_{function}({parameter.split()[-1]});\n"
        "    }"
    )
