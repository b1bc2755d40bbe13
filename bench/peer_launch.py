"""How peers are started: nginx, Envoy, Portkey's gateway and LiteLLM, each as its makers advise.

One worker, no logs of requests, limits out of the way. A version is empty if the peer is not there.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import routes
from launch import KEY, Launch, Site

_HERE = Path(__file__).resolve().parent
PEERS = _HERE / ".peers"

_NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_max_body_size 64m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 100000000;
  upstream models {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://models;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_request_buffering off;
    }}
  }}
}}
"""


def nginx(site: Site) -> Launch:
    """Start nginx: one worker, no buffering, connections to the upstream kept."""
    written = site.folder / "nginx.conf"
    written.write_text(
        _NGINX.format(folder=site.folder, upstream=site.upstream_port, port=site.port)
    )
    return Launch(command=[_nginx_program(), "-p", str(site.folder), "-c", str(written)])


def _nginx_program() -> str:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin") or ""


def nginx_version() -> str:
    """Tell the version that is installed."""
    program = _nginx_program()
    if not program:
        return ""
    told = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stderr
    found = re.search(r"nginx/(\S+)", told)
    return found[1] if found else "unknown"


def envoy(site: Site) -> Launch:
    """Start Envoy: one worker, static configuration."""

    def at(port: int) -> Mapping[str, object]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    many = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), 100000)
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    manager = (
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
        ".HttpConnectionManager"
    )
    route = {"match": {"prefix": "/"}, "route": {"cluster": "models", "timeout": "0s"}}
    connections = {
        "@type": manager,
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": router}}],
    }
    filters = [
        {"name": "envoy.filters.network.http_connection_manager", "typed_config": connections}
    ]
    endpoint = {"endpoint": {"address": at(site.upstream_port)}}
    config = {
        "static_resources": {
            "listeners": [
                {"name": "bench", "address": at(site.port), "filter_chains": [{"filters": filters}]}
            ],
            "clusters": [
                {
                    "name": "models",
                    "type": "STATIC",
                    "circuit_breakers": {"thresholds": [many]},
                    "load_assignment": {
                        "cluster_name": "models",
                        "endpoints": [{"lb_endpoints": [endpoint]}],
                    },
                }
            ],
        }
    }
    written = site.folder / "envoy.json"
    written.write_text(json.dumps(config))
    program = next((PEERS / "envoy").glob("lib/python*/site-packages/envoy/_bin/envoy"))
    words = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "error")
    return Launch(command=[str(program), "-c", str(written), *words])


def portkey(site: Site) -> Launch:
    """Start Portkey's gateway without its console."""
    script = PEERS / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
    preload = str(_HERE / "portkey_preload.cjs")
    command = ["node", "--require", preload, str(script), f"--port={site.port}", "--headless"]
    return Launch(command=command, environ={"NODE_ENV": "production"})


def portkey_headers(site: Site) -> Mapping[str, str]:
    """Give the headers that tell the gateway where to go."""
    host = f"http://127.0.0.1:{site.upstream_port}/v1"
    return {"x-portkey-provider": "openai", "x-portkey-custom-host": host}


def portkey_version() -> str:
    """Tell the version that is installed, and that of node."""
    described = PEERS / "portkey/node_modules/@portkey-ai/gateway/package.json"
    node = shutil.which("node")
    if not described.exists() or node is None:
        return ""
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return f"{json.loads(described.read_text())['version']}, node {told.strip().lstrip('v')}"


def litellm(site: Site) -> Launch:
    """Start LiteLLM's proxy in production mode: no database, no key, no retries, no cooldowns."""
    origin = f"http://127.0.0.1:{site.upstream_port}"
    keys: Mapping[str, Mapping[str, str]] = {
        "openai": {"api_base": f"{origin}/v1", "api_key": KEY},
        "ollama_chat": {"api_base": origin},
        "anthropic": {"api_base": origin, "api_key": KEY},
        "bedrock/converse": {
            "aws_bedrock_runtime_endpoint": origin,
            "aws_region_name": "eu-west-3",
            "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
            "aws_secret_access_key": KEY,
        },
    }
    prefixes = {"openai": "", "ollama_chat": "ollama.", "anthropic": "anthropic."}
    prefixes["bedrock/converse"] = "bedrock."
    models = [
        {
            "model_name": prefixes[kind] + model,
            "litellm_params": {"model": f"{kind}/{model}", **keys[kind]},
        }
        for kind in keys
        for model in routes.MODELS
    ]
    config = {
        "model_list": models,
        "litellm_settings": {"num_retries": 0, "telemetry": False},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
    }
    written = site.folder / "litellm.yaml"
    written.write_text(json.dumps(config))
    program = (PEERS / "litellm/bin/python", PEERS / "litellm/bin/litellm")
    words = ("--host", "127.0.0.1", "--port", str(site.port), "--num_workers", "1")
    return Launch(
        # Its script names the interpreter by a path, which is another one once the folder moves.
        command=[*map(str, program), "--config", str(written), *words],
        environ={
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
            "DISABLE_ADMIN_UI": "True",
        },
    )


def package_version(environment: str, package: str) -> str:
    """Tell the version of a package of a peer's own environment, empty if it is not there."""
    pattern = f"lib/python*/site-packages/{package}-*.dist-info"
    found = next((PEERS / environment).glob(pattern), None)
    return "" if found is None else found.name.removesuffix(".dist-info").rpartition("-")[2]
