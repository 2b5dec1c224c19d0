"""Files as the hosts document them, with what they hold besides servers; and what is in them."""

from typing import NamedTuple


class HostFile(NamedTuple):
    """A file of a host: its text, and its servers by name as (transport, command line or URL, env or headers)."""

    host: str
    text: str
    servers: dict


FILES = [
    HostFile(
        "claude-desktop",
        """{
  "globalShortcut": "Alt+Space",
  "mcpServers": {
    "filesystem": {
      "command": "npx",
      "args": ["-y", "@modelcontextprotocol/server-filesystem", "/Users/ada/Desktop"]
    },
    "weather": {"command": "uv", "args": ["run", "weather.py"], "env": {"KEY": "1"}}
  }
}
""",
        {
            "filesystem": (
                "stdio",
                ["npx", "-y", "@modelcontextprotocol/server-filesystem", "/Users/ada/Desktop"],
                {},
            ),
            "weather": ("stdio", ["uv", "run", "weather.py"], {"KEY": "1"}),
        },
    ),
    HostFile(
        "claude-code",
        """{
  "numStartups": 12,
  "mcpServers": {
    "api": {
      "type": "http",
      "url": "${API:-https://api.example.com}/mcp",
      "headers": {"Authorization": "Bearer ${API_KEY}"}
    },
    "local": {"type": "stdio", "command": "npx", "args": ["some"], "env": {}},
    "old": {"type": "sse", "url": "https://old.example.com/sse"},
    "bare": {"command": "srv"}
  },
  "projects": {"/x": {"mcpServers": {"other": {"command": "y"}}, "history": []}}
}
""",
        {
            "api": ("http", "${API:-https://api.example.com}/mcp", {"Authorization": "Bearer ${API_KEY}"}),
            "local": ("stdio", ["npx", "some"], {}),
            "old": ("sse", "https://old.example.com/sse", {}),
            "bare": ("stdio", ["srv"], {}),
        },
    ),
    HostFile(
        "vscode",
        """{
  // asked for once
  "inputs": [
    {"type": "promptString", "id": "perplexity-key", "description": "Perplexity API Key", "password": true},
  ],
  "servers": {
    "perplexity": {
      "type": "stdio",
      "command": "npx",
      "args": ["-y", "server-perplexity-ask"],
      "env": {"PERPLEXITY_API_KEY": "${input:perplexity-key}"}, // a secret
      "envFile": "${workspaceFolder}/.env",
      "cwd": "${workspaceFolder}"
    },
    /* remote */
    "github": {"type": "http", "url": "https://api.example.com/mcp"},
  }
}
""",
        {
            "perplexity": (
                "stdio",
                ["npx", "-y", "server-perplexity-ask"],
                {"PERPLEXITY_API_KEY": "${input:perplexity-key}"},
            ),
            "github": ("http", "https://api.example.com/mcp", {}),
        },
    ),
    HostFile(
        "cursor",
        """{
  "mcpServers": {
    "local": {"command": "${userHome}/bin/srv", "args": ["${workspaceFolder}"], "env": {"K": "${env:K}"},
              "envFile": ".env"},
    "far": {"url": "https://example.com/mcp", "headers": {"X": "${env:X}"}, "auth": {"CLIENT_ID": "a"}}
  }
}
""",
        {
            "local": ("stdio", ["${userHome}/bin/srv", "${workspaceFolder}"], {"K": "${env:K}"}),
            "far": ("http", "https://example.com/mcp", {"X": "${env:X}"}),
        },
    ),
    HostFile(
        "windsurf",
        """{
  "mcpServers": {
    "github": {"command": "npx", "args": ["-y", "x"], "env": {"T": "${env:T}"}, "disabledTools": ["a"]},
    "far": {"serverUrl": "https://example.com/mcp", "headers": {"API_KEY": "Bearer ${env:AUTH_TOKEN}"},
            "disabled": true}
  }
}
""",
        {
            "github": ("stdio", ["npx", "-y", "x"], {"T": "${env:T}"}),
            "far": ("http", "https://example.com/mcp", {"API_KEY": "Bearer ${env:AUTH_TOKEN}"}),
        },
    ),
    HostFile(
        "cline",
        """{
  "mcpServers": {
    "local-server": {
      "command": "python",
      "args": ["/path/to/server.py"],
      "env": {"API_KEY": "k"},
      "alwaysAllow": ["tool1", "tool2"],
      "disabled": false,
      "timeout": 60
    },
    "remote": {"url": "https://example.com/sse", "headers": {"A": "b"}, "autoApprove": []},
    "newer": {"type": "streamableHttp", "url": "https://example.com/mcp"}
  }
}
""",
        {
            "local-server": ("stdio", ["python", "/path/to/server.py"], {"API_KEY": "k"}),
            "remote": ("sse", "https://example.com/sse", {"A": "b"}),
            "newer": ("http", "https://example.com/mcp", {}),
        },
    ),
    HostFile(
        "gemini-cli",
        """{
  "mcp": {"allowed": ["one"]},
  "mcpServers": {
    "one": {"command": "bin/srv", "args": ["--x"], "env": {"K": "$K"}, "cwd": "./d", "timeout": 30000, "trust": false},
    "two": {"url": "https://example.com/sse", "includeTools": ["a"]},
    "three": {"httpUrl": "https://example.com/mcp", "headers": {"Authorization": "Bearer t"}},
    "four": {"url": "https://example.com/mcp", "type": "http"}
  },
  "theme": "GitHub" // mine
}
""",
        {
            "one": ("stdio", ["bin/srv", "--x"], {"K": "$K"}),
            "two": ("sse", "https://example.com/sse", {}),
            "three": ("http", "https://example.com/mcp", {"Authorization": "Bearer t"}),
            "four": ("http", "https://example.com/mcp", {}),
        },
    ),
    HostFile(
        "goose",
        """# Model Configuration
GOOSE_PROVIDER: "anthropic"
GOOSE_TEMPERATURE: 0.7

# Extensions Configuration
extensions:
  developer:
    bundled: true
    enabled: true
    name: developer
    timeout: 300
    type: builtin

  github:   # theirs
    name: GitHub
    cmd: npx
    args: [-y, "@modelcontextprotocol/server-github"]
    enabled: true
    envs: { "GITHUB_PERSONAL_ACCESS_TOKEN": "t" }
    env_keys:
      - OTHER
    type: stdio
    timeout: 300
  far:
    type: streamable_http
    uri: https://example.com/mcp
    headers:
      A: b
    enabled: false

# Search Path
GOOSE_SEARCH_PATHS:
  - "/usr/local/bin"
""",
        {
            "github": (
                "stdio",
                ["npx", "-y", "@modelcontextprotocol/server-github"],
                {"GITHUB_PERSONAL_ACCESS_TOKEN": "t"},
            ),
            "far": ("http", "https://example.com/mcp", {"A": "b"}),
        },
    ),
    HostFile(
        "zed",
        """// Zed settings
{
  "ui_font_size": 16,
  "context_servers": {
    "custom": {"source": "custom", "command": "some", "args": ["arg-1"], "env": {}},
    "before": {"source": "custom", "command": {"path": "old", "args": ["a"], "env": {"E": "1"}}, "settings": {}},
    "plain": {
      "command": "now",
      "args": [], // none
    },
    "far": {"url": "https://example.com/mcp", "headers": {"A": "b"}},
    "of-extension": {"source": "extension", "settings": {"key": 1}},
    "settings-only": {"settings": {"key": 1}},
  },
  "theme": {"mode": "system"},
}
""",
        {
            "custom": ("stdio", ["some", "arg-1"], {}),
            "before": ("stdio", ["old", "a"], {"E": "1"}),
            "plain": ("stdio", ["now"], {}),
            "far": ("http", "https://example.com/mcp", {"A": "b"}),
        },
    ),
    HostFile(
        "dovetail",
        """{
  "mcpServers": {
    "a": {"command": "x", "env": {"K": "${keyring:K}"}, "cwd": "${userHome}"},
    "b": {"type": "sse", "url": "https://example.com/sse", "note": "mine"}
  }
}
""",
        {
            "a": ("stdio", ["x"], {"K": "${keyring:K}"}),
            "b": ("sse", "https://example.com/sse", {}),
        },
    ),
]
