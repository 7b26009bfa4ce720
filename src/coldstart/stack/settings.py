"""Where the stack lives and listens: everything from environment variables, with local defaults."""

from __future__ import annotations

import json
import os
import secrets
import sys
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

from coldstart import environment

USER = "admin"


@dataclass(frozen=True)
class Settings:
    """Folders, ports and sizes of one stack.

    Attributes:
        project: root of the checkout.
        home: folder for state, ``COLDSTART_HOME``.
        airflow_port: ``COLDSTART_AIRFLOW_PORT``.
        mlflow_port: ``COLDSTART_MLFLOW_PORT``.
        reports_port: ``COLDSTART_REPORTS_PORT``.
        host: ``COLDSTART_HOST``, the address to listen on; 127.0.0.1 unless in a container.
        parallelism: ``COLDSTART_PARALLELISM``, tasks at once.
        gpu_slots: ``COLDSTART_GPU_SLOTS``, trainings at once: one per GPU.
    """

    project: Path
    home: Path
    airflow_port: int
    mlflow_port: int
    reports_port: int
    host: str
    parallelism: int
    gpu_slots: int

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the variables named above."""
        return cls(
            project=environment.project(),
            home=environment.home(),
            airflow_port=environment.AIRFLOW_PORT.number(1, 65535),
            mlflow_port=environment.MLFLOW_PORT.number(1, 65535),
            reports_port=environment.REPORTS_PORT.number(1, 65535),
            host=environment.HOST.text(),
            parallelism=environment.PARALLELISM.number(1, 1024),
            gpu_slots=environment.GPU_SLOTS.number(1, 1024),
        )

    @property
    def airflow_url(self) -> str:
        """Address of Airflow's UI and API."""
        return f"http://127.0.0.1:{self.airflow_port}"

    @property
    def mlflow_url(self) -> str:
        """Address of MLflow's UI and API."""
        return f"http://127.0.0.1:{self.mlflow_port}"

    @property
    def reports_url(self) -> str:
        """Address of the reports and Data Docs."""
        return f"http://127.0.0.1:{self.reports_port}"

    @property
    def site(self) -> Path:
        """Folder that is served at ``reports_url``: ``reports/RUN_ID/`` and ``data-docs/NAME/``."""
        return self.home / "site"

    @property
    def log(self) -> Path:
        """What starting prints, and why the stack ended; each service has a log beside it."""
        return self.home / "logs" / "stack.log"

    def service_log(self, name: str) -> Path:
        """What a service prints."""
        return self.log.with_name(f"{name}.log")

    @property
    def airflow_home(self) -> Path:
        """Folder of Airflow's database and logs."""
        return self.home / "airflow"

    @property
    def database(self) -> Path:
        """Airflow's database."""
        return self.airflow_home / "airflow.db"

    def ports(self) -> dict[str, int]:
        """Port by the variable that changes it."""
        return {
            environment.AIRFLOW_PORT.name: self.airflow_port,
            environment.MLFLOW_PORT.name: self.mlflow_port,
            environment.REPORTS_PORT.name: self.reports_port,
        }

    def password(self) -> str:
        """The generated password of :data:`USER`."""
        return _secrets(self.home)["password"]

    def welcome(self) -> str:
        """What `coldstart up` prints."""
        return (
            f"Airflow  {self.airflow_url}  (user {USER}, password {self.password()})\n"
            f"MLflow   {self.mlflow_url}\n"
            f"Reports  {self.reports_url}\n"
            "`coldstart down` ends it."
        )

    def environment(self) -> dict[str, str]:
        """Environment of all services and, through them, of all tasks."""
        kept = _secrets(self.home)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW__")}
        return {
            **inherited,
            environment.STACK.name: str(self.home),
            "SPT_NOENV": "1",  # setproctitle would overwrite the environment, and the mark with it
            environment.HOME.name: str(self.home),
            environment.PROJECT.name: str(self.project),
            environment.REPORTS_URL.name: self.reports_url,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "PYTHONUNBUFFERED": "1",
            environment.TRACKING_URI.name: self.mlflow_url,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            **_airflow(self, kept),
        }


def _airflow(settings: Settings, kept: dict[str, str]) -> dict[str, str]:
    home = settings.airflow_home
    options: dict[str, dict[str, object]] = {
        "core": {
            "dags_folder": settings.project / "dags",
            "plugins_folder": settings.project / "dags" / "plugins",
            "load_examples": False,
            "executor": "LocalExecutor",
            "parallelism": settings.parallelism,
            "max_active_runs_per_dag": 4,
            "fernet_key": kept["fernet"],
            "execution_api_server_url": f"{settings.airflow_url}/execution/",
            "simple_auth_manager_users": f"{USER}:admin",
            "simple_auth_manager_passwords_file": home / "passwords.json",
        },
        "database": {"sql_alchemy_conn": f"sqlite:///{settings.database}"},
        "api": {
            "host": settings.host,
            "port": settings.airflow_port,
            "base_url": settings.airflow_url,
            "secret_key": kept["api"],
            "workers": 1,
            "instance_name": "coldstart",
        },
        "api_auth": {"jwt_secret": kept["jwt"], "jwt_issuer": "coldstart"},
        "logging": {"base_log_folder": home / "logs", "logging_level": "INFO"},
        "scheduler": {
            "scheduler_idle_sleep_time": 0.3,
            "scheduler_health_check_threshold": 15,  # a killed scheduler is noticed,
            "orphaned_tasks_check_interval": 10,  # and its tasks taken over, within half a minute
            "task_instance_heartbeat_sec": 5,
            "task_instance_heartbeat_timeout": 30,
            "task_instance_heartbeat_timeout_detection_interval": 5,
        },
        "dag_processor": {
            "refresh_interval": 60,
            "min_file_process_interval": 60,
            "parsing_processes": 1,
            "print_stats_interval": 0,
        },
        "usage_data_collection": {"enabled": False},
    }
    return {"AIRFLOW_HOME": str(home), "PYTHONWARNINGS": "ignore"} | {
        f"AIRFLOW__{section}__{key}".upper(): str(value)
        for section, keys in options.items()
        for key, value in keys.items()
    }


def _secrets(home: Path) -> dict[str, str]:
    """Keys and the login of this stack, generated once, readable by their owner only."""
    path = home / "airflow" / "secrets.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = {
            "fernet": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "jwt": secrets.token_urlsafe(48),
            "api": secrets.token_urlsafe(32),
            "password": secrets.token_urlsafe(12),
        }
        _private(path, made)
        _private(path.with_name("passwords.json"), {USER: made["password"]})
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _private(path: Path, content: dict[str, str]) -> None:
    part = path.with_suffix(".part")
    part.touch(mode=0o600)
    part.write_text(json.dumps(content) + "\n", encoding="utf-8")
    part.replace(path)
