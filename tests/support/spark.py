"""Spark on this machine, where it is installed and finds a Java."""

import functools
import importlib.util
import os
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa


@functools.cache
def spark_is_here() -> bool:
    """Whether PySpark is installed, and a Java that starts: macOS has a `java` that only asks for one."""
    if importlib.util.find_spec("pyspark") is None:
        return False
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    return java is not None and subprocess.run([java, "-version"], capture_output=True, check=False).returncode == 0


@functools.cache
def spark_session() -> Any:
    """One small session a process, on this machine alone."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - not installed everywhere

    options = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        # Queries this small take longer to compile than to run.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.log.level": "OFF",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.session.timeZone": "America/New_York",
        "spark.sql.shuffle.partitions": "1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.master("local[2]")
    for name, value in options.items():
        builder = builder.config(name, value)
    with warnings.catch_warnings():
        # JAX warns of every fork of a process that has threads; the child is a Java that runs none of them.
        warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called", category=RuntimeWarning)
        return builder.getOrCreate()


def in_spark(table: pa.Table) -> Any:
    """The table in Spark, in two partitions."""
    return spark_session().createDataFrame(table).repartition(2)
